"""The page that transformer.py writes of its JSON's content."""

from typing import Any

from lab.tables import measured_with, written_by
from lab.transformer.tables import choices, readme


def page(results: dict[str, Any]) -> str:
    """A page in Markdown with all that came out, and the protocol."""
    where, minutes = measured_with(results["environment"]), results["seconds"] / 60
    text = results["text"]
    parts = [
        "# CLR with AdamW on a small transformer",
        written_by("transformer"),
        f"{where} All of it took {minutes:.0f} minutes. The text has "
        f"{text['vocabulary']} different characters and the SHA-256 {text['sha256']}; "
        "another Python may have another.",
        "## The final runs",
        readme(results),
        "![Loss by steps](loss.png)",
        "## The rates",
        f"{choices(results)}.",
        "![The range test](range_test.png)",
        "## The protocol",
        f"```text\n{results['protocol'].strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"
