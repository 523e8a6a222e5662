"""Background work: a durable queue, a dispatcher, and supervised worker processes.

Pages and the command line call ``jobs.queue``, whose words are those of ``jobs.job`` and ``jobs.engine``; the server
starts ``jobs.dispatcher``; everything else is inside.
"""
