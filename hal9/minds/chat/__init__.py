"""The OpenAI chat protocol as servers really speak it: what is sent, what comes back, what is refused."""
