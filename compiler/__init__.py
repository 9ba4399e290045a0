"""The compiler: a checkpoint goes in, an artifact folder for the browser comes out."""
