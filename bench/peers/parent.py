"""Ends this process when the one that started it has ended: nobody would watch its memory any more."""
import os
import threading
import time


def end_with_parent():
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
