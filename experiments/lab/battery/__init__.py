"""The battery of learning-rate finders: tasks, truth, rules, report, picture."""
