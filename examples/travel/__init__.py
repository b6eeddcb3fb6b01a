"""A travel agent that may be interrupted: router → flight and hotel, side by side → response."""
