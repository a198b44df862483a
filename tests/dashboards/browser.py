# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, by its debugging protocol: one page, its answers from the server, a picture of it.

Runs in Superset's own Python environment, which has websocket-client.
"""
import base64
import itertools
import json
import os
import subprocess
import tempfile
import time
import urllib.request

import websocket

CHROMIUM = ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--mute-audio',
            '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--force-device-scale-factor=1',
            '--remote-debugging-port=0', '--remote-allow-origins=*']


class Browser:
    def __init__(self, width, height, patience=300):
        self.home = tempfile.TemporaryDirectory(prefix='polku-chromium.', ignore_cleanup_errors=True)
        self.patience = patience
        self.process = subprocess.Popen(CHROMIUM + ['--user-data-dir=' + self.home.name, '--window-size=%d,%d' % (width, height), 'about:blank'],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.numbers = itertools.count(1)
        self.answers = []  # (url, status, request id) of what the page fetched
        self.posted = {}   # request id -> (url, status)
        port = self.port()
        pages = self.wait_for('a page', lambda: [p for p in self.pages(port) if p['type'] == 'page'])
        self.socket = websocket.create_connection(pages[0]['webSocketDebuggerUrl'], timeout=5)
        self.call('Page.enable')
        self.call('Runtime.enable')
        self.call('Network.enable', maxTotalBufferSize=200000000, maxResourceBufferSize=100000000)
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False)

    def wait_for(self, what, fact, pause=0.1):
        deadline = time.monotonic() + self.patience
        while True:
            got = fact()
            if got:
                return got
            if time.monotonic() > deadline:
                raise RuntimeError('waited %d s in vain: %s' % (self.patience, what))
            time.sleep(pause)

    def port(self):
        path = os.path.join(self.home.name, 'DevToolsActivePort')
        self.wait_for('Chromium to start', lambda: os.path.exists(path) and os.path.getsize(path) > 0)
        with open(path, encoding='ascii') as file:
            return int(file.readline())

    def pages(self, port):
        with urllib.request.urlopen('http://127.0.0.1:%d/json' % port, timeout=30) as answer:
            return json.load(answer)

    def hear(self):
        """One message, or None after a while."""
        try:
            message = json.loads(self.socket.recv())
        except websocket.WebSocketTimeoutException:
            return None
        if message.get('method') == 'Network.responseReceived':
            got = message['params']
            self.posted[got['requestId']] = (got['response']['url'], got['response']['status'])
        if message.get('method') == 'Network.loadingFinished' and message['params']['requestId'] in self.posted:
            number = message['params']['requestId']
            self.answers.append((*self.posted.pop(number), number))
        return message

    def call(self, method, **params):
        number = next(self.numbers)
        self.socket.send(json.dumps({'id': number, 'method': method, 'params': params}))
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            message = self.hear()
            if message and message.get('id') == number:
                if 'error' in message:
                    raise RuntimeError('%s: %s' % (method, message['error']))
                return message['result']
        raise RuntimeError('%s was not answered' % method)

    def script(self, text):
        return self.call('Runtime.evaluate', expression=text, returnByValue=True, awaitPromise=True)['result'].get('value')

    def open(self, url):
        self.answers = []
        self.call('Page.navigate', url=url)

    def until(self, what, script):
        """Asks the page until the script gives something true."""
        return self.wait_for(what, lambda: self.script(script))

    def body(self, number):
        """The JSON of one answer."""
        got = self.call('Network.getResponseBody', requestId=number)
        return json.loads(base64.b64decode(got['body']) if got['base64Encoded'] else got['body'])

    def settle(self):
        """Until two pictures in a row are the same: charts are drawn with animations."""
        last = [None]

        def still():
            before, last[0] = last[0], self.call('Page.captureScreenshot', format='png')['data']
            return before == last[0]
        self.wait_for('the page to come to rest', still, pause=1)

    def picture(self, path, width, height):
        shot = self.call('Page.captureScreenshot', format='png', clip={'x': 0, 'y': 0, 'width': width, 'height': height, 'scale': 1})
        with open(path, 'wb') as file:
            file.write(base64.b64decode(shot['data']))

    def close(self):
        try:
            self.call('Browser.close')
        except (RuntimeError, OSError, websocket.WebSocketException):
            pass
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.home.cleanup()
