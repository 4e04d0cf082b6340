"""Floor 3. The paper, one module per stage: from the human seed to pairs and the next model.

In the order of the method: ``read``, ``seed``, ``eft``, ``train``, ``self_instruct``,
``candidates``, ``judgments``, ``pairs``. In addition: ``labels`` of people, ``cleaning``, and your
own ``sql``. ``judging`` is how judges are prompted and parsed, by whichever step.
"""
