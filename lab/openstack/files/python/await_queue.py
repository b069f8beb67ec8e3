#!/usr/bin/python3
"""Wait until a queue exists in RabbitMQ.

    await_queue.py NAME SECONDS

What a service asks of another before that has made its queue is lost, and no
log says when the queue is there.
"""
import sys
import time

import amqp


def exists(name):
    with amqp.Connection('127.0.0.1:5672', 'guest', 'guest') as connection:
        try:
            connection.channel().queue_declare(name, passive=True)
        except amqp.NotFound:
            return False
        return True


def main():
    name, deadline = sys.argv[1], time.monotonic() + float(sys.argv[2])
    while True:
        try:
            if exists(name):
                return
            reason = 'no such queue'
        except OSError as error:  # RabbitMQ does not listen yet
            reason = str(error)
        if time.monotonic() > deadline:
            sys.exit('queue %s: %s' % (name, reason))
        time.sleep(0.1)


if __name__ == '__main__':
    main()
