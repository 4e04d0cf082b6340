"""Floor 3. The paper, one module a stage: from the human seed to pairs and the next model.

In the order of the method: ``read``, ``seed``, ``eft``, ``train``, ``self_instruct``,
``candidates``, ``judgments``, ``pairs``. Beside the method: ``labels`` of people, ``cleaning``, and
``sql`` of one's own. ``judging`` is how judges are asked and read, wherever that is done.
"""
