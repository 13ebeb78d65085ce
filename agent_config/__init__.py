"""Agent config: an open JSON object of which some parts are known (CONTRACT.md section 4)."""
