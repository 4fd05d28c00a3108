"""The dashboard: pages over the API's services, rendered on the server; a little script keeps them fresh.

Everything can be read without JavaScript; every button is a form.
"""
