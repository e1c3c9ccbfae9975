"""The stack that people build by hand, which the bus is compared with: FastAPI, Celery on RabbitMQ, lxml, psycopg.

It journals nothing: its durability is RabbitMQ's (persistent messages, publisher confirms, acknowledged late).
"""
