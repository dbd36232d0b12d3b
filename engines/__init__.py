"""The bench around model bundles: measures what a bundle does on this machine, through the runtime that ships."""
