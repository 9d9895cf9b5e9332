"""The simulated year (模拟的一年): the presets' nights beside a plain reading of the same facts."""
