"""What the schedule and training cost: jobs, timing, page."""
