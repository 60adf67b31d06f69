"""The scan: decodes each video once and stores signals of every frame and a strip of still images."""
