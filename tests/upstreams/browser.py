"""For `$BROWSER`: a browser whose owner agrees to everything, `python -m tests.upstreams.browser URL`.

A page that is not on this machine is not visited: the played server knows without it that its code was typed in.
"""

import sys
import urllib.request

COMMAND = f"{sys.executable} -m tests.upstreams.browser %s"

if __name__ == "__main__" and sys.argv[1].startswith("http://127.0.0.1:"):
    with urllib.request.urlopen(sys.argv[1], timeout=20) as page:
        page.read()
