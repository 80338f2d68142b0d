"""Facts of an image file from its own structure: markers, chunks, blocks, directories and boxes.

No decoder runs, no pixel is decoded, and no file is read as a whole: each parser seeks to what it needs, looks at a
bounded number of parts, and reads a bounded number of bytes of each. So an upload of any size costs milliseconds. Only
a JPEG in several scans, whose scans are counted, and a GIF, up to its second frame, are walked through piece by piece.
"""
