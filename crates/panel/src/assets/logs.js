// Follows a log. Lines are text and only ever become text nodes.
'use strict';
(() => {
  const MOST_LINES = 5000;
  const get = (id) => document.getElementById(id);
  const place = get('log-stream');
  const box = get('log'), note = get('log-note'), filter = get('log-filter'), search = get('log-search');
  const followButton = get('log-follow'), pauseButton = get('log-pause');

  // Shown lines, oldest first, and those that wait for the next frame or for the end of a pause.
  let lines = [], waiting = [];
  let known = null;       // Keys of shown lines, after a reconnect sends some of them again.
  let follows = true, isPaused = false, isFirst = true, dropped = false, end = null, frame = 0;

  // Lines

  const key = ([time, component, text]) => `${time} ${component} ${text}`;
  const matches = (text, wanted) => text.toLowerCase().includes(wanted);
  const hue = (name) => [...name].reduce((sum, c) => (Math.imul(sum, 31) + c.charCodeAt(0)) >>> 0, 0) % 6;

  function element([time, component, text]) {
    const line = document.createElement('span'), stamp = document.createElement('time'), from = document.createElement('b');
    stamp.dateTime = stamp.title = time;
    stamp.textContent = time.slice(11, 23).replace('Z', '');
    from.textContent = component;
    from.className = `hue-${hue(component)}`;
    line.append(stamp, ' ', from, ' ', `${text}\n`);
    return line;
  }

  // Instances send their lines side by side, so a line may belong before others.
  function insert(data) {
    const line = { time: data[0], key: key(data), text: data[2], element: element(data) };
    line.element.hidden = !matches(line.text, filter.value.toLowerCase());
    let at = lines.length;
    while (at > 0 && lines[at - 1].time > line.time) at -= 1;
    box.insertBefore(line.element, at < lines.length ? lines[at].element : null);
    lines.splice(at, 0, line);
  }

  function show() {
    frame = 0;
    if (isPaused) return status();
    if (isFirst && waiting.length) (isFirst = false, box.replaceChildren());
    const added = waiting.splice(0);
    added.filter((data) => !known?.has(key(data))).forEach(insert);
    for (const line of lines.splice(0, Math.max(0, lines.length - MOST_LINES))) (line.element.remove(), dropped = true);
    if (search.value && added.length) find(0);
    if (follows) box.scrollTop = box.scrollHeight;
    status();
  }

  // A hidden tab has no frames, so the lines that wait are limited as well.
  function add(batch) {
    waiting.push(...batch);
    if (waiting.splice(0, Math.max(0, waiting.length - MOST_LINES)).length) dropped = true;
    frame ||= requestAnimationFrame(show);
  }

  // What the log is waiting for, or why it has ended.

  function status() {
    const visible = filter.value ? `${lines.filter((line) => !line.element.hidden).length} of ${lines.length} lines have this text.` : '';
    const texts = [
      end && !end.failed ? end.text : '',
      !end && !lines.length && !waiting.length ? 'No lines yet.' : '',
      isPaused ? `Paused. ${waiting.length} newer ${waiting.length === 1 ? 'line waits' : 'lines wait'}.` : '',
      dropped ? `Only the last ${MOST_LINES.toLocaleString('en')} lines are here. The download has all of them.` : '',
      visible,
    ].filter(Boolean).join(' ');
    let text = note.querySelector(':scope > p:not(.without-script)');
    if (!text) note.prepend(text = document.createElement('p'));
    if (text.textContent !== texts) text.textContent = texts;
  }

  function problem(sentence) {
    note.querySelector('.notice')?.remove();
    if (!sentence) return;
    const notice = document.createElement('div'), title = document.createElement('strong'), text = document.createElement('p');
    const again = document.createElement('button');
    notice.className = 'notice bad';
    notice.setAttribute('role', 'alert');
    title.textContent = 'The log ends here';
    text.textContent = sentence;
    again.className = 'button';
    again.textContent = 'Try again';
    again.addEventListener('click', connect);
    const body = document.createElement('div');
    body.append(title, text, again);
    notice.append(body);
    note.append(notice);
  }

  // The stream. The browser connects again by itself, and then gets the last lines once more.

  let source = null;
  function connect() {
    source?.close();
    end = null;
    problem('');
    source = new EventSource(place.dataset.stream);
    source.addEventListener('open', () => { known = lines.length ? new Set(lines.map((line) => line.key)) : null; status(); });
    source.addEventListener('lines', (event) => add(JSON.parse(event.data)));
    source.addEventListener('end', (event) => finish(JSON.parse(event.data)));
    source.addEventListener('error', () => {
      if (source.readyState !== EventSource.CLOSED) return;
      finish({ failed: true, text: 'The server refused the log. Try again in a moment.' });
      boatyard.probe();
    });
  }

  function finish(reason) {
    source.close();
    end = reason;
    if (reason.failed) problem(reason.text);
    status();
  }

  // Follow, pause, filter

  const isAtEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight < 8;
  function setFollow(on) {
    follows = on;
    followButton.setAttribute('aria-pressed', on);
    if (on) box.scrollTop = box.scrollHeight;
  }
  // Only a person moves away from the end: new lines keep the end in sight, and removed ones move nothing.
  for (const kind of ['wheel', 'touchmove', 'keyup', 'pointerup']) {
    box.addEventListener(kind, () => requestAnimationFrame(() => follows !== isAtEnd() && setFollow(isAtEnd())), { passive: true });
  }
  followButton.addEventListener('click', () => setFollow(!follows));
  pauseButton.addEventListener('click', () => {
    isPaused = !isPaused;
    pauseButton.setAttribute('aria-pressed', isPaused);
    show();
  });
  filter.addEventListener('input', () => {
    const wanted = filter.value.toLowerCase();
    for (const line of lines) line.element.hidden = !matches(line.text, wanted);
    find(0);
    if (follows) box.scrollTop = box.scrollHeight;
    status();
  });

  // Search: every match is marked, and one of them is the current one.

  let current = null;
  function find(step) {
    const wanted = search.value.toLowerCase();
    const found = wanted ? lines.filter((line) => !line.element.hidden && matches(line.text, wanted)) : [];
    if (wanted && step === 0 && !found.includes(current)) current = found.at(-1) ?? null;
    else if (step) current = found.at((found.indexOf(current) + step) % found.length) ?? null;
    mark(found, wanted);
    get('log-found').textContent = !wanted ? '' : found.length ? `${found.indexOf(current) + 1} of ${found.length}` : 'Not found';
    if (step && current) {
      setFollow(false);
      current.element.scrollIntoView({ block: 'center' });
    }
  }

  function mark(found, wanted) {
    box.querySelector('.current')?.classList.remove('current');
    if (wanted) current?.element.classList.add('current');
    if (!window.CSS?.highlights) return;
    const ranges = found.flatMap((line) => {
      const text = line.element.lastChild, lower = text.data.toLowerCase(), all = [];
      // A few letters have another length in lower case.
      if (lower.length !== text.length) return all;
      for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, at + wanted.length)) {
        const range = new Range();
        range.setStart(text, at);
        range.setEnd(text, at + wanted.length);
        all.push(range);
      }
      return all;
    });
    CSS.highlights.set('found', new Highlight(...ranges));
  }

  search.addEventListener('input', () => { current = null; find(0); current?.element.scrollIntoView({ block: 'center' }); if (current) setFollow(false); });
  search.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    find(event.shiftKey ? -1 : 1);
  });
  get('log-previous').addEventListener('click', () => find(-1));
  get('log-next').addEventListener('click', () => find(1));
  get('log-choice').addEventListener('change', (event) => event.currentTarget.requestSubmit());

  // Browsers allow few connections per server, so a page that is not seen keeps none.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) source?.close();
    else if (!end) connect();
  });
  if (!document.hidden) connect();
})();
