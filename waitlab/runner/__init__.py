"""Everything between an experiment and a filled results folder: what is started, driven, watched and written down."""
