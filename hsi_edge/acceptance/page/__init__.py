"""The check as one self-contained HTML page."""
