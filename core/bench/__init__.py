"""How fast everything is on this machine, each thing against its plain version in the same run.

Seconds differ from machine to machine and from run to run; ratios hardly do. So nothing is measured alone:
:mod:`.pipeline` runs a whole job on a scene, step by step beside the simplest way to do the same, and :mod:`.runs` runs
every kernel and every query function on a made pool (:mod:`.ground`), beside the plain vectorised version
(:mod:`.plain`) and, where it is installed, scikit-activeml (:mod:`.peers`).
"""
