"""Training jobs that run: each script is a process of this machine.

============ ======================================================================
``request``  the body of CreateTrainingJob, checked, and the command line of its script
``search``   ``policies.auto_search``: objectives, search space, sampler
``storage``  OBS paths as folders below a root, and the state and logs of jobs
``process``  one script with all that it starts, ended with the emulator
``state``    the state of one job and its trials
``runner``   one job from its start to its end
``job``      one job, as the operations see it
``executor`` all jobs of one emulator
============ ======================================================================
"""
