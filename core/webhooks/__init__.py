"""Webhooks: who subscribed is told of state changes by signed POSTs, at least once and in order; ids only.

subscriptions  who wants what (bus.webhook)        feed     what happened, as the journal has it
targets        where a POST may go, and the POST   signing  secrets and signatures
courier        the part of the bus that delivers
"""
