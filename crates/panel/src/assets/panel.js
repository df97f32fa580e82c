// The panel's script. Pages work without it. It opens dialogues above the page, replaces the parts of live pages, and keeps
// times right. Markup only ever comes from the panel's own pages and streams, where the server has escaped all text.
(() => {
  'use strict';

  const root = document.documentElement;
  const main = document.querySelector('main');
  const byId = (id) => document.getElementById(id);
  const parse = (html) => new DOMParser().parseFromString(html, 'text/html');
  const announce = (text) => { byId('announcements').textContent = text; };
  const openDialog = () => document.querySelector('dialog:modal');
  root.classList.add('script');

  // Times

  // The browser's clock may be wrong, so times are relative to the server's.
  const serverAhead = Number(root.dataset.now) - Date.now();
  const UNITS = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

  function duration(seconds, parts) {
    const first = UNITS.findIndex(([size]) => seconds >= size);
    if (first < 0) return '0 s';
    let rest = seconds;
    return UNITS.slice(first, first + parts).map(([size, unit]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return count ? `${count} ${unit}` : '';
    }).filter(Boolean).join(' ');
  }

  function tick() {
    for (const time of document.querySelectorAll('time[data-time]')) {
      const seconds = Math.max(0, Math.floor((Date.now() + serverAhead - Date.parse(time.dateTime)) / 1000));
      const ago = seconds < 5 ? 'just now' : `${duration(seconds, 1)} ago`;
      const text = time.dataset.time === 'ago' ? ago : duration(seconds, 2);
      if (time.textContent !== text) time.textContent = text;
    }
  }
  setInterval(tick, 1000);

  // Replacing parts of the page

  // The element in `place` that stands for `element` after a replacement.
  function counterpart(element, place) {
    if (element.id) return place.id === element.id ? place : place.querySelector(`#${CSS.escape(element.id)}`);
    const href = element.getAttribute('href');
    if (href) return place.querySelector(`a[href="${CSS.escape(href)}"]`);
    return element.matches('summary') ? counterpart(element.parentElement, place)?.querySelector('summary') : null;
  }

  // The logs that receive lines, each with the function that ends its stream.
  const followed = new Map();

  const isAtEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 8;

  // Calls `exchange`, which replaces what is in `old` by what is in `next`. Focus, scroll positions and open lists stay.
  function keepingState(old, next, exchange) {
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const boxes = [old, ...old.querySelectorAll('[id]')].filter((box) => box.id && box.scrollHeight > box.clientHeight)
      .map((box) => ({ box, top: box.scrollTop, left: box.scrollLeft, end: 'follow' in box.dataset && isAtEnd(box) }));
    const lists = [old, ...old.querySelectorAll('details[open]')].filter((list) => list.open && list.id);
    const spoken = [...old.querySelectorAll('[data-announce]')].map((it) => it.textContent);
    exchange();
    for (const [place, stop] of followed) if (!place.isConnected) stop();
    for (const list of lists) counterpart(list, next)?.setAttribute('open', '');
    tick();
    for (const { box, top, left, end } of boxes) {
      const now = counterpart(box, next);
      now?.scrollTo(left, end ? now.scrollHeight : top);
    }
    settle(next);
    if (focused && !next.contains(document.activeElement)) counterpart(focused, next)?.focus({ preventScroll: true });
    const news = [...next.querySelectorAll('[data-announce]')].map((it) => it.textContent).filter((it) => !spoken.includes(it));
    if (news.length) announce(news.join('. '));
  }

  function replace(old, next) {
    if (old && next && !old.isEqualNode(next)) keepingState(old, next, () => old.replaceWith(next));
  }

  // Prepares new parts of the page: those that load later, logs that start at their end, buttons that wait for a name.
  function settle(place) {
    for (const it of place.querySelectorAll('[data-load]')) part(it.dataset.load, it.id);
    for (const box of place.querySelectorAll('[data-follow]:not([data-settled])')) {
      box.dataset.settled = '';
      if (!box.scrollTop) box.scrollTop = box.scrollHeight;
    }
    place.querySelectorAll('[data-confirm]').forEach(checkName);
    place.querySelectorAll('[data-all]').forEach(syncAll);
    place.querySelectorAll('[data-log]').forEach(follow);
    place.querySelectorAll('.problems').forEach(markLines);
  }

  const loading = new Map();

  // Replaces the element with this id by the one in the page at `url`. `form`: only within this form, as long as it is there.
  async function part(url, id, form, options) {
    const find = () => (form ? form.isConnected && form.querySelector(`#${CSS.escape(id)}`) : byId(id)) || null;
    loading.get(id)?.abort();
    const request = new AbortController();
    loading.set(id, request);
    find()?.setAttribute('aria-busy', 'true');
    try {
      const response = await fetch(url, { headers: { 'x-part': 'dialog' }, signal: request.signal, ...options });
      if (response.status === 401 && form) throw new SignedOut();
      if (response.status === 401) return location.reload();
      const answer = parse(await response.text()), next = answer.getElementById(id);
      if (!next) throw new Error(answer.querySelector('.notice p')?.textContent ?? `The server answered with status ${response.status}. Reload the page.`);
      next.removeAttribute('data-load');
      replace(find(), next);
    } catch (error) {
      const old = find();
      if (request.signal.aborted || !old) return;
      old.removeAttribute('aria-busy');
      old.replaceChildren(explanation(error));
    }
  }

  // Sessions

  // The session has ended. The page stays as it is, with what was typed.
  class SignedOut extends Error {}

  // A paragraph that says why something was not sent.
  function explanation(error) {
    const paragraph = document.createElement('p');
    if (!(error instanceof SignedOut)) {
      paragraph.textContent = error instanceof TypeError || error.name === 'TimeoutError' ? 'The server did not answer. Try again in a moment.' : error.message;
      return paragraph;
    }
    const link = document.createElement('a');
    Object.assign(link, { href: '/sign-in', target: '_blank', textContent: 'Sign in in another tab' });
    paragraph.append('You are signed out, so nothing was sent. What you typed is still here. ', link, ', then try again here.');
    return paragraph;
  }

  // Gives the forms of the page the CSRF token of the session, which another tab may have replaced. Fails if there is none.
  async function renewSession() {
    const response = await fetch('/session', { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    if (response.status === 401) throw new SignedOut();
    if (!response.ok) throw new Error(`The server answered with status ${response.status}. Try again in a moment.`);
    const token = await response.text();
    document.querySelectorAll('input[name="csrf"]').forEach((field) => { field.value = token; });
  }

  // Dialogues

  let opener = null;

  function show(next, focusError) {
    const shown = openDialog();
    if (shown) {
      keepingState(shown, shown, () => shown.replaceChildren(...next.childNodes));
    } else {
      next.removeAttribute('open');
      document.body.append(next);
      next.showModal();
      next.addEventListener('close', closed);
      (next.querySelector('[autofocus], .tabs [aria-current], form :is(input:not([type="hidden"]), textarea)') ?? next).focus();
      tick();
      settle(next);
    }
    const error = focusError && openDialog().querySelector('[aria-invalid="true"], [role="alert"]');
    if (!error) return;
    if (!error.matches('input, select, textarea')) error.tabIndex = -1;
    error.focus();
  }

  function closed(event) {
    const dialog = event.target;
    const page = dialog.querySelector('[data-close]')?.getAttribute('href') ?? location.pathname;
    dialog.remove();
    if (history.state?.dialog) history.back();
    else if (new URL(page, location.href).pathname !== location.pathname) return location.assign(page);
    else if (location.search) history.replaceState(null, '', page);
    (opener && counterpart(opener, document.body) || main).focus();
  }

  // The request for the dialogue that a person wants to see. A click on another link replaces it.
  let opening = null;

  async function open(link) {
    const href = link.getAttribute('href');
    if (!openDialog()) opener = link.closest('.menu')?.querySelector('summary') ?? link;
    opening?.abort();
    const request = opening = new AbortController();
    try {
      const response = await fetch(link.href, { headers: { 'x-part': 'dialog' }, signal: request.signal });
      const next = parse(await response.text()).querySelector('dialog');
      if (request.signal.aborted) return;
      if (response.redirected || !next) return location.assign(link.href);
      if (openDialog()) history.replaceState(history.state, '', href);
      else history.pushState({ dialog: true }, '', href);
      show(next, false);
    } catch {
      if (!request.signal.aborted) location.assign(link.href);
    }
  }

  async function send(form, submitter) {
    const fields = new URLSearchParams(new FormData(form, submitter));
    const action = new URL(submitter?.getAttribute('formaction') ?? form.getAttribute('action'), location.href);
    const isGet = (submitter?.getAttribute('formmethod') ?? form.getAttribute('method')) === 'get';
    if (isGet) fields.forEach((value, name) => name !== 'csrf' && action.searchParams.append(name, value));
    try {
      await renewSession();
      fields.set('csrf', form.elements.csrf.value);
    } catch (error) {
      return refuse(form, error);
    }
    try {
      const response = await fetch(action, { headers: { 'x-part': 'dialog' }, ...(isGet ? {} : { method: 'POST', body: fields }) });
      if (response.redirected) return location.assign(response.url);
      const next = parse(await response.text()).querySelector('dialog');
      // A dialogue without a form would discard what was typed.
      if (next?.querySelector('form')) return show(next, true);
      const why = next?.querySelector('.notice p')?.textContent;
      refuse(form, new Error(why ?? `The server refused this: it answered with status ${response.status}. Reload the page and try again.`));
    } catch {
      refuse(form, new Error('The server did not answer, so this may or may not have started. Look at the page before you try again.'));
    }
  }

  // Shows why a form was not carried out: at the top of its dialogue, or at its end.
  function refuse(form, error) {
    form.ariaBusy = null;
    const notice = explanation(error), dialog = form.closest('dialog:modal');
    notice.className = 'notice bad';
    notice.setAttribute('role', 'alert');
    (dialog ?? form).querySelector(':scope > .notice.bad:not(div)')?.remove();
    if (dialog) dialog.querySelector('header').after(notice);
    else form.append(notice);
  }

  // Forms that leave the page, after a look at the session.
  const ready = new WeakSet();

  async function leave(form, submitter) {
    try {
      await renewSession();
    } catch (error) {
      return refuse(form, error);
    }
    form.ariaBusy = null;
    if (!form.isConnected) return;
    ready.add(form);
    form.requestSubmit(submitter);
  }

  // How long a second click sends nothing. A browser does not tell a page that a person pressed Stop.
  const BUSY_MS = 5000;

  document.addEventListener('submit', (event) => {
    const form = event.target;
    // A second click, while the first is on its way, sends nothing.
    if (form.ariaBusy === 'true') return event.preventDefault();
    form.ariaBusy = 'true';
    if (form.closest('dialog:modal')) {
      event.preventDefault();
      send(form, event.submitter);
    } else if (form.elements.csrf?.value && !form.matches('.account') && !ready.delete(form)) {
      event.preventDefault();
      leave(form, event.submitter);
    } else {
      setTimeout(() => { form.ariaBusy = null; }, BUSY_MS);
    }
  });
  addEventListener('pageshow', () => document.querySelectorAll('form[aria-busy]').forEach((form) => { form.ariaBusy = null; }));
  addEventListener('popstate', () => {
    if (history.state?.dialog || location.search.includes('action=')) location.reload();
    else openDialog()?.close();
  });

  // Clicks and keys

  document.addEventListener('click', (event) => {
    for (const menu of document.querySelectorAll('.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
    const target = event.target.closest('a, button');
    if (!target) return;
    if (target.dataset.copy !== undefined) return copy(target);
    if (target.dataset.line) return event.preventDefault(), selectLine(byId(target.hash.slice(1)), Number(target.dataset.line));
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const dialog = target.closest('dialog:modal');
    if ('close' in target.dataset && dialog) return event.preventDefault(), dialog.close();
    if (!('dialog' in target.dataset)) return;
    event.preventDefault();
    open(target);
    target.closest('.menu')?.removeAttribute('open');
  });

  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  document.addEventListener('keydown', (event) => {
    const menu = event.target.closest('.menu[open]');
    if (event.key === 'Escape' && menu) {
      menu.open = false;
      return menu.querySelector('summary').focus();
    }
    const list = event.target.closest('.tabs') ?? menu;
    if (!list || !STEPS[event.key]) return;
    const links = [...list.querySelectorAll('a')];
    const at = links.indexOf(event.target);
    event.preventDefault();
    links[at < 0 ? 0 : (at + STEPS[event.key] + links.length) % links.length].focus();
  });

  async function copy(button) {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      return announce('The browser did not allow to copy. Select the text instead.');
    }
    button.classList.add('done');
    setTimeout(() => button.classList.remove('done'), 1500);
    announce('Copied');
  }

  // Fields

  function checkName(place) {
    const matches = place.querySelector('input').value.trim() === place.dataset.confirm;
    place.closest('form')?.querySelectorAll('button.danger').forEach((button) => { button.disabled = !matches; });
  }

  const othersOf = (all) => [...all.closest('fieldset').querySelectorAll('input[type="checkbox"]:not([data-all], :disabled)')];

  function syncAll(all) {
    const others = othersOf(all);
    const checked = others.filter((box) => box.checked).length;
    all.checked = checked === others.length;
    all.indeterminate = checked > 0 && !all.checked;
  }

  document.addEventListener('change', ({ target }) => {
    if ('all' in target.dataset) othersOf(target).forEach((box) => { box.checked = target.checked; });
    else target.closest('fieldset')?.querySelectorAll('[data-all]').forEach(syncAll);
    const form = target.closest('form[data-preview]');
    if (!form) return;
    const url = new URL(form.dataset.preview, location.href);
    new FormData(form).forEach((value, name) => name !== 'csrf' && url.searchParams.append(name, value));
    part(url, form.dataset.shows, form);
  });

  document.addEventListener('input', ({ target }) => {
    const confirm = target.closest('[data-confirm]');
    if (confirm) checkName(confirm);
    if ('editor' in target.dataset) number(target);
    const shows = target.closest('[data-checks]')?.dataset.checks;
    if (shows) checkSoon(target.form, shows);
  });

  // While a person types: sends the form as its button "Show plan" does, and replaces the element that shows the answer.
  let checking = 0;
  function checkSoon(form, shows) {
    clearTimeout(checking);
    checking = setTimeout(async () => {
      // Another tab may have signed in. If there is no session, the answer to the check says so.
      await renewSession().catch(() => {});
      if (!form.isConnected) return;
      const fields = new URLSearchParams(new FormData(form));
      fields.set('step', 'plan');
      part(form.getAttribute('action'), shows, form, { method: 'POST', body: fields });
    }, 500);
  }

  function markLines(list) {
    const area = byId(list.dataset.of);
    const lines = [...list.querySelectorAll('[data-line]')].map((it) => Number(it.dataset.line));
    area.ariaInvalid = list.querySelector('.bad') ? 'true' : null;
    area.parentElement.querySelectorAll('.numbers span').forEach((it, index) => it.classList.toggle('marked', lines.includes(index + 1)));
  }

  function number(area) {
    const lines = Math.min(10000, area.value.split('\n').length);
    const numbers = area.parentElement.querySelector('.numbers');
    area.rows = Math.max(12, lines + 1);
    while (numbers.childElementCount > lines) numbers.lastElementChild.remove();
    while (numbers.childElementCount < lines) {
      numbers.append(Object.assign(document.createElement('span'), { textContent: `${numbers.childElementCount + 1}\n` }));
    }
  }

  function selectLine(area, line) {
    const lines = area.value.split('\n');
    const start = lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
    area.focus();
    area.setSelectionRange(start, start + (lines[line - 1] ?? '').length);
    area.parentElement.querySelectorAll('.numbers span')[line - 1]?.scrollIntoView({ block: 'center' });
  }

  // Logs on other pages than that for logs

  // Adds the lines of a stream to the log in `place`, as text, until the place is replaced.
  function follow(place) {
    if (followed.has(place)) return;
    const box = place.querySelector('.log'), note = place.querySelector('[role="status"]');
    let source = null;

    function add(lines) {
      const end = isAtEnd(box);
      for (const [time, component, text] of lines) {
        const line = document.createElement('span'), stamp = document.createElement('time'), from = document.createElement('b');
        stamp.textContent = time.slice(11, 23).replace('Z', '');
        from.textContent = component;
        line.append(stamp, ' ', from, ` ${text}\n`);
        box.append(line);
      }
      while (box.childElementCount > 500) box.firstElementChild.remove();
      if (end) box.scrollTop = box.scrollHeight;
      note.textContent = box.childElementCount ? '' : 'No lines yet.';
    }

    function connect() {
      source?.close();
      if (document.hidden || !place.isConnected) return;
      source = new EventSource(place.dataset.log);
      source.addEventListener('open', () => { box.replaceChildren(); add([]); });
      source.addEventListener('lines', (event) => (place.isConnected ? add(JSON.parse(event.data)) : source.close()));
      source.addEventListener('end', (event) => {
        const { failed, text } = JSON.parse(event.data);
        source.close();
        note.textContent = failed || !box.childElementCount ? text : '';
      });
      source.addEventListener('error', () => {
        if (source.readyState === EventSource.CLOSED) note.textContent = 'The log cannot be read now. Reload the page to try again.';
      });
    }

    followed.set(place, () => {
      source?.close();
      document.removeEventListener('visibilitychange', connect);
      followed.delete(place);
    });
    document.addEventListener('visibilitychange', connect);
    connect();
  }

  // Streams and sockets do not tell why they failed. Returns whether to connect again. A page that is gone, or needs a new
  // sign-in, is loaded again.
  async function probe() {
    try {
      const response = await fetch(location.href, { method: 'HEAD', redirect: 'manual', cache: 'no-store' });
      if (response.type === 'opaqueredirect' || (response.status >= 400 && response.status < 500)) location.reload();
      return response.ok;
    } catch {
      return false;
    }
  }
  window.boatyard = { probe };

  // Live pages

  function live(url) {
    const banner = byId('connection');
    const last = new Map();
    let source = null, timer = 0, wait = 0;

    function connect() {
      disconnect();
      source = new EventSource(url);
      source.addEventListener('open', () => { wait = 0; banner.hidden = true; });
      source.addEventListener('fragments', (event) => {
        for (const [id, html] of Object.entries(JSON.parse(event.data))) {
          if (last.get(id) === html) continue;
          last.set(id, html);
          replace(byId(id), parse(html).body.firstElementChild);
        }
      });
      // What the page shows is gone, or too many pages are open.
      source.addEventListener('end', (event) => {
        disconnect();
        banner.textContent = JSON.parse(event.data).message;
        banner.hidden = false;
      });
      source.addEventListener('error', lost);
    }

    function disconnect() {
      source?.close();
      clearTimeout(timer);
    }

    function lost() {
      disconnect();
      banner.textContent = 'Connection lost. Reconnecting…';
      banner.hidden = false;
      wait = Math.min(5000, wait * 2 || 250);
      timer = setTimeout(async () => (await probe() ? connect() : lost()), wait);
    }

    // Browsers allow few connections per server, so a page that is not seen keeps none.
    document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
    if (!document.hidden) connect();
  }

  tick();
  settle(document);
  document.querySelector('.app-nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  const linked = document.querySelector('dialog[open]');
  if (linked) linked.remove(), show(linked, true);
  if (main.dataset.live) live(main.dataset.live);
})();
