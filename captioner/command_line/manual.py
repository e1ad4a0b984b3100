"""What `--help` says besides the flags themselves; %(prog)s is the name of the program."""

DESCRIPTION = "Caption photos, and show where the model looked for each word."
EPILOG = """
photos:
  A folder stands for the photos in it, in order of their names, not for those in folders inside.
  - reads paths from standard input, one a line, as they come. A photo that is named twice is
  captioned twice. Captions come in the order of the photos; messages go to stderr.

formats:
  text    the caption alone for one photo; for several, and in a file, one line a caption: the
          photo's path, a tab, the caption. With --caption two lines more, of your words: each
          with its probability, and how surprised the model is by yours and by its own
  jsonl   one JSON object a caption and line: photo, rank where --num-captions is above 1, and
          all there is of the caption: score, perplexity, and for each word its probability,
          alternatives and attention. caption.schema.json in the package describes it. With
          --caption, the first object of each photo has yours in the same form as "scored".
          Safe for any path
  csv     one row a caption: photo, rank from 1, caption, score, perplexity, and words as
          word:probability with spaces between. With --caption one row more with rank 0, yours,
          and the column unknown_words. UTF-8, safe for any path. A cell that a spreadsheet
          would take for a formula has an apostrophe before it, or if it is a path, ./

output file:
  --output writes a photo when everything about it is done, so a run may be killed at any time;
  --resume goes on after the last photo that is there, whole, with the same options. It tries
  again what failed. An incomplete record at the end of the file is removed and done again.

pictures:
  For photo.jpg, --overlays writes photo-01-dogs.jpg, photo-02-run.jpg, ..., one for each word, at
  the photo's size, and photo-00-sheet.png with all of them; --sheet writes photo-sheet.png alone;
  --gif writes photo-words.gif. With --caption they show your words. A second photo of the same
  name in one run becomes photo-2-..., so neither replaces the other; a later run replaces its own
  files.

exit status:
  0    every photo was captioned
  1    a photo could not be read, or its pictures not written, and the others were captioned; or
       the output could not be written, and the run stopped
  2    wrong usage, no usable checkpoint, or an output file that must not be written to
  130  interrupted with Ctrl-C
  141  the reader of the output went away

examples:
  %(prog)s dogs.jpg
  %(prog)s dogs.jpg --num-captions 3 --diversity 1
  %(prog)s dogs.jpg --caption "two dogs in the snow"
  %(prog)s dogs.jpg --beam-size 5 --overlays out/
  %(prog)s holiday/ --output captions.jsonl --resume
  find . -name "*.jpg" | %(prog)s - --format csv > captions.csv
"""
