"""The demo: the whole system on this machine, with a fleet that tells afterwards what it truly held and sent.

`stage` starts and stops the processes, `asks` orders the reading, `board` shows it live, `reconcile` compares what
arrived with the fleet's own word.
"""
