"""Texts that no page, terminal or file should obey."""

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</script></p><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg onload=window.pwned=1><style>body{display:none}</style>",
    "[click](javascript:window.pwned=1) ![x](https://evil.example/x.png) **bold**",
    "{{ 7 * 7 }} {% raw %} ${window.pwned = 1}",
    '{"expr": "window.pwned = 1", "signal": "datum.x"} datum["x"]',
    "\"><iframe src='https://evil.example'></iframe><!-- ",
    "a\u2028b\u2029c\u202etxt.exe\u202c d\u0007e",
    "&lt;b&gt; &amp; \\u003cscript\\u003e",
    "A word of a megabyte: " + 250_000 * "long" + " and its end",
)
