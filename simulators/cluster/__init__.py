"""The bus as many processes on one machine: RabbitMQ, workers, schedulers, web; the demo's scenario, other failures."""
