"""Training jobs that really run: each script is a process of this machine.

============= ==============================================================
``bodies``    what CreateTrainingJob is sent, checked
``commands``  from an algorithm to the command line of its script
``plans``     from ``policies.auto_search`` to a search
``spaces``    the hyperparameters of a search: what may be drawn for each
``sampling``  draws configurations, with Optuna
``buckets``   OBS paths are folders below a root
``archive``   what outlives the emulator: documents, tables, logs
``scripts``   one process, with all that it starts
``guards``    ends scripts that outlive the emulator
``reports``   what a script prints about its metrics
``trials``    one run of a search, and its rows
``state``     what is known of one job
``running``   runs one job to its end
``job``       one job, as the operations see it
``workshop``  makes, keeps and ends all of them
============= ==============================================================
"""
