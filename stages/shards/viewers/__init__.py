"""Files that show a row to a person: the clip as an mp4 file, or its stills. `clipmill show` calls them."""
