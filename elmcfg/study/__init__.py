"""Studies: many variants of one budget measured, trained for a little, and compared honestly.

    plan.py      what to compare, measure and train, as a YAML file and as a value
    variants.py  the plan's variants as named configs, matched on a budget or said not to be
    designs.py   what flags of elmcfg scale make, as a plan has them
    jobs.py      what there is to do, each job with its key
    estimate.py  how long that may take, and how one can know
    journal.py   what has been done: one record per line, safe against every kind of end
    claims.py    which run does which job, where several share one folder
    worker.py    the child process that does jobs, and how its end becomes a record
    measure.py   what each kind of job does
    local.py     jobs on this machine: threads over child processes
    cluster.py   jobs on a dask cluster
    connection.py  to one scheduler, and what that knows of our jobs
    dask_log.py  what dask logs, off the terminal
    running.py   all of it together
    folder.py    the files of a study
    verdict.py   what the numbers can and cannot tell

Importing this package imports neither MLX nor dask.
"""
