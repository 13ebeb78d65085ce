"""maim: the control plane for multi-tenant AI agents."""

__version__ = "0.1.0"
