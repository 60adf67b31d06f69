"""Reading and writing of media: time codes, decoding, encoding, and the tar format of shards."""
