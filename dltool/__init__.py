"""dltool: a course's worth of deep learning, runnable from a shell."""

__version__ = "0.1.0"
