// A console: sends keys, and shows the rows that the server sends. They are text and only ever become text nodes.
'use strict';
(() => {
  const get = (id) => document.getElementById(id);
  const box = get('terminal'), screen = get('screen'), above = get('history'), keys = get('keys'), note = get('console-note');
  const address = new URL(document.querySelector('[data-socket]').dataset.socket, location.href);
  address.protocol = address.protocol.replace('http', 'ws');

  let modes = { application_cursor: false, bracketed_paste: false, history: 0 };
  let socket = null, wait = 0, size = '', hasEnded = false;

  const send = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

  // Longer texts than this are split: the server accepts messages of 64 KiB.
  function type(text) {
    for (let at = 0; at < text.length;) {
      // Not between the two halves of a character.
      const half = /[\uD800-\uDBFF]/.test(text[at + 8191] ?? '') ? 1 : 0;
      send({ keys: text.slice(at, at + 8192 + half) });
      at += 8192 + half;
    }
    if (!above.hidden) closeHistory();
  }

  // What keys send, as xterm does. Those in `LETTERS` end with a letter, those in `NUMBERS` with a number and `~`.

  const PLAIN = { Enter: '\r', Backspace: '\x7f', Tab: '\t', Escape: '\x1b' };
  const LETTERS = { ArrowUp: 'A', ArrowDown: 'B', ArrowRight: 'C', ArrowLeft: 'D', Home: 'H', End: 'F', F1: 'P', F2: 'Q', F3: 'R', F4: 'S' };
  const NUMBERS = { Insert: 2, Delete: 3, PageUp: 5, PageDown: 6, F5: 15, F6: 17, F7: 18, F8: 19, F9: 20, F10: 21, F11: 23, F12: 24 };
  const CONTROLS = { ' ': '\0', '@': '\0', '[': '\x1b', '\\': '\x1c', ']': '\x1d', '^': '\x1e', _: '\x1f', '/': '\x1f', '?': '\x7f' };

  // The text that a key sends; null if the browser keeps the key, or the field gets a character.
  function sequence({ key, ctrlKey, altKey, shiftKey, metaKey }) {
    if (metaKey) return null;
    const modifiers = 1 + shiftKey + 2 * altKey + 4 * ctrlKey;
    if (key in LETTERS) {
      if (modifiers > 1) return `\x1b[1;${modifiers}${LETTERS[key]}`;
      return `\x1b${/^F\d/.test(key) || modes.application_cursor ? 'O' : '['}${LETTERS[key]}`;
    }
    if (key in NUMBERS) return `\x1b[${NUMBERS[key]}${modifiers > 1 ? `;${modifiers}` : ''}~`;
    if (key === 'Tab' && shiftKey) return '\x1b[Z';
    if (key in PLAIN) return (altKey ? '\x1b' : '') + (key === 'Backspace' && ctrlKey ? '\b' : PLAIN[key]);
    if (key.length !== 1) return null;
    if (ctrlKey) {
      const control = /[a-z]/i.test(key) ? String.fromCharCode(key.charCodeAt(0) & 31) : CONTROLS[key];
      return control === undefined ? null : (altKey ? '\x1b' : '') + control;
    }
    return altKey ? `\x1b${key}` : null;
  }

  keys.addEventListener('keydown', (event) => {
    const { key, code, ctrlKey, altKey, shiftKey } = event;
    // A character that needs AltGr, or several keys.
    if (event.isComposing || event.getModifierState('AltGraph')) return;
    if (ctrlKey && altKey && code === 'KeyM') return event.preventDefault(), leave();
    // Copy, paste, and the browser's own tools.
    if (ctrlKey && shiftKey && /^[cvij]$/i.test(key) || shiftKey && key === 'Insert') return;
    if (shiftKey && key === 'PageUp') return event.preventDefault(), openHistory();
    const text = sequence(event);
    if (text === null) return;
    event.preventDefault();
    type(text);
  });
  keys.addEventListener('input', (event) => {
    if (event.isComposing) return;
    type(keys.value.replaceAll('\n', '\r'));
    keys.value = '';
  });
  keys.addEventListener('compositionend', () => { type(keys.value); keys.value = ''; });
  // Keyboards on a screen send these without a key.
  keys.addEventListener('beforeinput', (event) => {
    const text = { deleteContentBackward: '\x7f', insertLineBreak: '\r' }[event.inputType];
    if (!text || event.isComposing) return;
    event.preventDefault();
    type(text);
  });
  keys.addEventListener('paste', (event) => {
    event.preventDefault();
    const text = event.clipboardData.getData('text').replace(/\r?\n/g, '\r');
    // Nothing that is pasted can end the paste.
    type(modes.bracketed_paste ? `\x1b[200~${text.replaceAll('\x1b', '')}\x1b[201~` : text);
  });
  const leave = () => document.querySelector('.heading .actions :is(a, button:enabled)').focus();
  // A click gives the keys to the shell, unless it selects text.
  box.addEventListener('mouseup', () => getSelection().isCollapsed && keys.focus({ preventScroll: true }));

  // Rows: lists of [text, classes].

  function fill(row, pieces) {
    row.replaceChildren(...pieces.map(([text, classes]) => {
      if (!classes) return document.createTextNode(text);
      const span = document.createElement('span');
      span.className = classes;
      span.textContent = text;
      return span;
    }));
    return row;
  }

  function show(message) {
    if (message.above) return showHistory(message.above);
    while (screen.children.length > message.height) screen.lastChild.remove();
    while (screen.children.length < message.height) screen.append(document.createElement('div'));
    for (const [index, pieces] of Object.entries(message.rows)) fill(screen.children[index], pieces);
    modes = message;
    get('console-earlier').disabled = !message.history && above.hidden;
    if (message.ended) end(message.ended);
    else tell('');
  }

  function openHistory() {
    if (above.hidden && modes.history) send('history');
    else box.scrollTop -= box.clientHeight;
  }

  function showHistory(rows) {
    const end = box.scrollHeight;
    above.replaceChildren(...rows.map((pieces) => fill(document.createElement('div'), pieces)));
    above.hidden = false;
    get('console-earlier').textContent = 'Back to the screen';
    box.scrollTop = box.scrollHeight - end - box.clientHeight / 2;
  }

  function closeHistory() {
    above.replaceChildren();
    above.hidden = true;
    get('console-earlier').textContent = 'Earlier output';
  }

  get('console-earlier').addEventListener('click', () => (above.hidden ? openHistory() : closeHistory(), keys.focus()));
  box.addEventListener('wheel', (event) => event.deltaY < 0 && above.hidden && openHistory(), { passive: true });

  // The size, in characters of the font

  function measure() {
    const probe = document.createElement('span');
    probe.textContent = '0'.repeat(100);
    const row = document.createElement('div');
    row.append(probe);
    screen.append(row);
    const { width, height } = probe.getBoundingClientRect(), style = getComputedStyle(box);
    const line = row.getBoundingClientRect().height || height;
    row.remove();
    const room = (whole, ...paddings) => whole - paddings.reduce((sum, it) => sum + parseFloat(style[it]), 0);
    const columns = Math.floor(room(box.clientWidth, 'paddingLeft', 'paddingRight') / (width / 100));
    const rows = Math.floor(room(box.clientHeight, 'paddingTop', 'paddingBottom') / line);
    if (columns > 0 && rows > 0 && size !== `${columns} ${rows}` && send({ resize: [columns, rows] }) !== false) size = `${columns} ${rows}`;
  }

  let timer = 0;
  new ResizeObserver(() => { clearTimeout(timer); timer = setTimeout(measure, 150); }).observe(box);

  // The connection

  function tell(title, text, tone) {
    note.replaceChildren();
    if (!title) return;
    const notice = document.createElement('div'), strong = document.createElement('strong'), p = document.createElement('p');
    const body = document.createElement('div');
    notice.className = `notice ${tone}`;
    strong.textContent = title;
    p.textContent = text;
    body.append(strong, p);
    notice.append(body);
    note.append(notice);
  }

  function end(why) {
    hasEnded = true;
    tell('The console has ended', why, 'bad');
    keys.disabled = true;
    box.classList.add('ended');
  }

  function connect() {
    socket = new WebSocket(address);
    socket.addEventListener('open', () => { wait = 0; size = ''; measure(); });
    socket.addEventListener('message', (event) => show(JSON.parse(event.data)));
    socket.addEventListener('close', ({ reason }) => !hasEnded && (reason ? end(reason) : reconnect()));
  }

  async function reconnect() {
    tell('The connection was lost', 'Connecting again …', 'warning');
    wait = Math.min(5000, wait * 2 || 500);
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (await boatyard.probe()) connect();
    else reconnect();
  }

  connect();
  keys.focus({ preventScroll: true });
})();
