"""Agent config: an open JSON object of which some parts are known (docs/contract.md section 13)."""
