"""Floor 7. Publish versions to the Hugging Face Hub, and pull them back as the same versions.

A dataset repository, one commit and one tag a bundle::

    README.md                                the card, written anew each time
    <config>/train-00000-of-0000N.parquet    the version's own files, byte for byte
    manifests/<config>.json                  its manifest, without this machine

A model repository is the model's folder, with ``manifests/<name>.json`` beside it.

What is pulled is trusted for nothing: a version comes in only if its identity hashes to its name,
its files to their checksums, its rows to its content, and its rows keep the rules of their type.
"""
