"""Floor 7. Publish versions to the Hugging Face Hub, and pull them back as the same versions.

A dataset repository, with one commit and one tag per release::

    README.md                                the card, rewritten each time
    <config>/train-00000-of-0000N.parquet    the version's own files, byte for byte
    manifests/<config>.json                  its manifest, without this machine

A model repository is the model's folder, with ``manifests/<name>.json`` beside it.

What is pulled is not trusted: a version is accepted only if its identity hashes to its name, its
files to their checksums and its rows to its content, and if its rows keep the rules of their type.
"""
