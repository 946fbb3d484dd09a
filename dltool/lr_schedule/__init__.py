"""Plans, previews and finds learning rates: the room of lr-schedule and lr-find."""
