# mypy: ignore-errors
import os
import tempfile

import rpyc
from rpyc.utils.classic import download, upload

conn = rpyc.classic.connect_thread()
with tempfile.TemporaryDirectory() as folder:
    source = os.path.join(folder, "source")
    os.makedirs(os.path.join(source, "inner"))
    for name, text in (("a.txt", "a" * 200000), ("inner/b.txt", "b"), ("inner/c.pyc", "c")):
        with open(os.path.join(source, name), "w") as file:
            file.write(text)
    there, back = os.path.join(folder, "there"), os.path.join(folder, "back")
    upload(conn, source, there, filter=lambda name: not name.endswith(".pyc"))
    download(conn, there, back)
    for root, _, names in sorted(os.walk(back)):
        print(os.path.relpath(root, back), sorted((n, os.path.getsize(os.path.join(root, n))) for n in names))
    upload(conn, os.path.join(source, "a.txt"), os.path.join(folder, "copy"))
    print(os.path.getsize(os.path.join(folder, "copy")))
    try:
        upload(conn, os.path.join(folder, "missing"), there)
    except ValueError:
        print("ValueError")
    rpyc.classic.upload_file(conn, os.path.join(source, "inner/b.txt"), os.path.join(folder, "one"))
    rpyc.classic.download_file(conn, os.path.join(folder, "one"), os.path.join(folder, "two"))
    print(open(os.path.join(folder, "two")).read())
conn.close()
