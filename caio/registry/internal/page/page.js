'use strict';
(() => {
  const every = 2000, slowest = 30000; // milliseconds between two questions, and at most while there is no answer
  const $ = id => document.getElementById(id);

  // A node; children are nodes, or texts that are never read as HTML.
  function node(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }
  const setText = (at, text) => { if (at.textContent !== text) at.textContent = text; };

  // What the registry did not do, with the status of its answer, 0 if there was none. Other errors are faults of this script.
  class Refusal extends Error {
    constructor(status, message) { super(message); this.status = status; }
  }

  // Requests. The token goes to this registry only, and lives as long as the tab.
  let token = sessionStorage.getItem('caio-token') || '';
  async function ask(path, options) {
    const headers = { Accept: 'application/json', ...options.headers };
    if (token) headers.Authorization = 'Bearer ' + token;
    const signal = AbortSignal.any([AbortSignal.timeout(15000), ...options.signal ? [options.signal] : []]);
    let response, body = null;
    try {
      response = await fetch(path, { ...options, headers, signal, credentials: 'omit', redirect: 'error' });
      if (response.status !== 304) body = await response.json();
    } catch (fault) {
      throw new Refusal(0, fault.message);
    }
    if (body && !response.ok) throw new Refusal(response.status, body.error ? body.error.message : response.statusText);
    return { response, body };
  }

  // The list of services.
  const shown = new Map(); // id to the service as JSON, once the first answer is there
  let known = false;
  function fill(row, service) {
    row.dataset.id = service.id;
    for (const at of row.querySelectorAll('[data-field]')) {
      const value = service[at.dataset.field];
      if (Array.isArray(value)) at.replaceChildren(...(value.length ? value : ['–']).map(text => node('li', {}, text)));
      else if (at.dataset.field !== 'documentation') at.textContent = value;
    }
    row.querySelector('.status').dataset.status = service.status;
    const link = row.querySelector('a');
    link.hidden = !/^https?:\/\//i.test(service.documentation);
    if (!link.hidden) link.href = service.documentation;
    return row;
  }
  function showServices(services) {
    const rows = $('rows'), old = new Map([...rows.children].map(row => [row.dataset.id, row]));
    const came = [], went = [], changed = [];
    let at = rows.firstElementChild;
    for (const service of services.list) {
      const text = JSON.stringify(service);
      let row = old.get(service.id);
      old.delete(service.id);
      if (!row) {
        row = fill($('row').content.firstElementChild.cloneNode(true), service);
        if (known) row.classList.add('fresh');
        came.push(service.id);
      } else if (shown.get(service.id) !== text) {
        fill(row, service);
        if (shown.has(service.id)) changed.push(service.id + ' is ' + service.status);
      }
      shown.set(service.id, text);
      if (row === at) at = at.nextElementSibling; else rows.insertBefore(row, at);
    }
    for (const [id, row] of old) { row.remove(); shown.delete(id); went.push(id); }
    if (known && services.query === lastQuery) announce(came, went, changed);
    known = true;
    lastQuery = services.query;
    $('withheld')?.remove();
    $('listing').hidden = false;
    $('empty').hidden = services.list.length > 0;
    setText($('empty'), services.matching ? 'There are no more services.' : services.query ? 'No service matches the filter.' : 'No service is registered yet.');
    showCount(services);
    $('first').hidden = services.first === 1 || !services.matching;
    $('first').href = '?' + new URLSearchParams({ q: services.query });
    $('next').hidden = !services.next;
    if (services.next) $('next').href = '?' + new URLSearchParams({ q: services.query, after: services.next });
    mayDecide = services.may_decide;
    $('decisions').hidden = false;
    $('viewer').hidden = !mayDecide;
    $('no-decisions').hidden = mayDecide;
    $('offered').replaceChildren(...services.capabilities.map(name => node('option', { value: name })));
  }
  let lastQuery = null, mayDecide = false;
  function showCount({ total, unhealthy, matching, first, list }) {
    let text = (matching === total ? '' : matching + ' of ') + total + (total === 1 ? ' service' : ' services');
    if (unhealthy) text += ', ' + unhealthy + ' unhealthy';
    if (list.length && list.length < matching) text += '; shown: ' + first + ' to ' + (first + list.length - 1);
    setText($('count'), text);
  }
  function announce(came, went, changed) {
    const say = (ids, what) => ids.length === 0 ? [] : [(ids.length > 3 ? ids.length + ' services' : ids.join(', ')) + ' ' + what];
    const news = [...say(came, 'appeared'), ...say(went, 'disappeared'), ...changed.slice(0, 3)];
    if (news.length) $('news').textContent = news.join('; ');
  }

  // Staying up to date: a question every two seconds, answered without a body while nothing changed. After a failure the
  // questions become rarer, so that a registry that restarts is not overrun.
  let timer, failures = 0, current;
  const tags = new Map(); // path to that of the last answer
  async function changed(path, signal) {
    const { response, body } = await ask(path, { headers: tags.has(path) ? { 'If-None-Match': tags.get(path) } : {}, signal });
    if (signal.aborted) throw new Refusal(0, 'another question took its place');
    if (body && response.headers.has('ETag')) tags.set(path, response.headers.get('ETag'));
    return body;
  }
  function live(state, text) {
    $('live').hidden = false;
    $('live').dataset.state = state;
    setText($('live'), text);
  }
  async function refresh() {
    clearTimeout(timer);
    current?.abort();
    const mine = current = new AbortController();
    try {
      const services = await changed('page/services' + location.search, mine.signal);
      if (services) showServices(services);
      const decisions = mayDecide && await changed('page/decisions', mine.signal);
      if (decisions) showSummaries(decisions);
      $('access').hidden = true;
      $('forget').hidden = !token;
      if (failures) $('news').textContent = 'The registry answers again.';
      failures = 0;
      live('live', 'Live');
    } catch (fault) {
      if (!(fault instanceof Refusal)) throw fault;
      if (mine.signal.aborted) return;
      if (fault.status === 401 || fault.status === 403) return refused(fault);
      if (failures++ === 0) $('news').textContent = 'The registry does not answer.';
      live('lost', 'No answer, trying again');
    }
    const pause = Math.min(slowest, every * 2 ** failures) * (0.85 + 0.3 * Math.random());
    if (!document.hidden) timer = setTimeout(refresh, pause);
  }
  function refused(fault) {
    if (token && fault.status === 401) {
      sessionStorage.removeItem('caio-token');
      token = '';
      setText($('access-note'), 'This token is not accepted. ' + $('access-note').textContent.replace(/^This token is not accepted. /, ''));
    } else if (fault.status === 403) setText($('access-note'), fault.message);
    live('waiting', 'A token is needed');
    $('listing').hidden = $('decisions').hidden = $('forget').hidden = true;
    $('rows').replaceChildren(); // what is there may be out of date
    shown.clear();
    known = false;
    $('access').hidden = false;
    $('token').focus();
    tags.clear();
  }

  // Decisions.
  function showSummaries(decisions) {
    const focused = document.activeElement?.closest('#recent a')?.hash;
    $('recent').replaceChildren(...decisions.map(d => node('li', {}, node('a', { href: '#' + d.id },
      d.service || node('b', { class: 'none' }, 'no match'), node('span', {}, clock(d.at) + '  ' + d.asked)))));
    if (!decisions.length) $('recent').append(node('li', {}, node('span', {}, 'None yet.')));
    mark();
    if (focused) [...$('recent').querySelectorAll('a')].find(link => link.hash === focused)?.focus();
  }
  const clock = at => new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  function mark() {
    for (const link of $('recent').querySelectorAll('a')) {
      if (link.hash === location.hash) link.setAttribute('aria-current', 'true'); else link.removeAttribute('aria-current');
    }
  }
  async function openDecision() {
    const id = location.hash.slice(1);
    mark();
    if (!id.startsWith('dec-') || $('decision').dataset.id === id) return;
    try {
      showDecision((await ask('page/decisions/' + encodeURIComponent(id), {})).body);
    } catch (fault) {
      showFault(fault);
    }
  }
  function showFault(fault) {
    if (!(fault instanceof Refusal)) throw fault;
    delete $('decision').dataset.id;
    $('decision').replaceChildren(heading(!fault.status ? 'The registry does not answer' : fault.status === 404 ? 'This decision is not kept' : 'Not decided'), node('p', {}, fault.message));
  }
  const heading = text => node('h3', { id: 'decision-title', tabindex: '-1' }, text);
  function showDecision(d) {
    $('decision').dataset.id = d.id;
    $('decision').replaceChildren(
      heading(d.service ? d.service + (d.steps.length > 1 ? ' were chosen' : ' was chosen') : 'No service matches'),
      node('p', {}, 'Asked for ', node('span', { id: 'asked' }, d.asked)),
      node('p', { class: 'facts' }, node('time', { datetime: d.at }, new Date(d.at).toLocaleString()), ' ', node('code', {}, d.id)),
      ...d.message ? [node('p', {}, d.message)] : [],
      ...texts('Nobody offers', d.missing), ...texts('On offer', d.offered),
      ...d.steps.flatMap((step, i) => stepNodes(step, d.steps.length > 1 ? 'Step ' + (i + 1) + ': ' : '')),
      ...proofNodes(d));
    $('decision').querySelector('h3').focus({ preventScroll: true });
    if (matchMedia('(max-width: 60rem)').matches) $('decision').scrollIntoView();
  }
  const texts = (title, list) => list && list.length ? [node('h4', {}, title), node('ul', { class: 'plain' }, ...list.map(text => node('li', {}, text)))] : [];
  function stepNodes(step, prefix) {
    const parts = [];
    if (step.reasons.length) parts.push(node('h4', {}, prefix + 'Why ' + step.service), node('ul', { class: 'reasons' }, ...step.reasons.map(text => node('li', {}, text))));
    if (step.candidates.length) {
      const columns = [['service', 'Service'], ['score', 'Score'], ['accuracy', 'Accuracy ≥'], ['latency', 'p95 ms ≤'], ['price', 'Price'], ['availability', 'Availability ≥']];
      parts.push(node('div', { class: 'scroll' }, node('table', {},
        node('caption', {}, 'The best of the services that meet every requirement. ' + step.weights),
        node('thead', {}, node('tr', {}, ...columns.map(([key, name]) => node('th', { scope: 'col', class: key === 'service' ? undefined : 'number' }, name)))),
        node('tbody', {}, ...step.candidates.map((c, i) => node('tr', i ? {} : { class: 'chosen' }, ...columns.map(([key]) => key === 'service' ?
          node('th', { scope: 'row' }, c.service + (i ? '' : ' (chosen)')) : node('td', { class: 'number' }, c[key] || '–'))))))));
    }
    if (step.refused.length) {
      parts.push(node('h4', {}, prefix + (step.service ? 'Why not the others' : 'What the nearest fail')),
        node('table', { class: 'refused' }, node('caption', {}, 'Services with the capability that fail a requirement, the nearest first' + (step.service ? ', as they are registered now.' : '.')),
          node('thead', {}, node('tr', {}, node('th', { scope: 'col' }, 'Service'), node('th', { scope: 'col' }, 'Fails'))),
          node('tbody', {}, ...step.refused.map(r => node('tr', {}, node('th', { scope: 'row' }, r.service),
            node('td', {}, node('ul', {}, ...r.failed.map(clause => clauseNode(clause)))))))));
    }
    return parts;
  }
  const clauseNode = c => node('li', {}, node('code', {}, c.requirement), ' ', c.detail);
  const verdict = met => node('b', { class: met ? 'met' : 'none' }, met ? 'holds' : 'fails');
  function proofNodes(d) {
    if (!d.proofs.length) return [];
    return [node('h4', {}, 'Proofs'),
      node('p', { class: d.faults ? 'none' : 'muted' }, d.faults ? 'Recomputed just now, and found wrong: ' + d.faults : 'Recomputed just now from their evidence, with the hash of the trace: all hold.'),
      node('ul', { class: 'proofs' }, ...d.proofs.map(p => node('li', {}, verdict(p.valid), ' ', node('code', {}, p.type), p.step ? ' (step ' + p.step + ')' : '', ' ', p.statement,
        node('ul', { class: 'clauses' }, ...p.clauses.map(c => node('li', {}, verdict(c.met), ' ', node('code', {}, c.requirement), ' ', c.detail)))))),
      node('p', { class: 'facts' }, node('code', {}, d.hash))];
  }

  // What a person does.
  $('access').addEventListener('submit', event => {
    event.preventDefault();
    token = $('token').value.trim();
    $('token').value = '';
    sessionStorage.setItem('caio-token', token);
    refresh().then(openDecision);
  });
  let typing;
  function applyFilter() {
    clearTimeout(typing);
    const q = $('q').value.trim();
    history.replaceState(null, '', (q ? '?' + new URLSearchParams({ q }) : location.pathname) + location.hash);
    tags.clear(); // the list is another
    refresh();
  }
  $('filter').addEventListener('submit', event => { event.preventDefault(); applyFilter(); });
  $('q').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(applyFilter, 250); });
  $('ask').addEventListener('submit', async event => {
    event.preventDefault();
    const guarantees = {}, button = $('ask').querySelector('button');
    if ($('latency').value) guarantees.p95_latency_ms = { max: Number($('latency').value) };
    if ($('accuracy').value) guarantees.accuracy = { min: Number($('accuracy').value) };
    const body = JSON.stringify({ requirements: { capabilities: [$('capability').value.trim()], guarantees } });
    button.disabled = true;
    try {
      const decision = (await ask('page/decisions', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })).body;
      showDecision(decision);
      history.replaceState(null, '', '#' + decision.id);
      refresh();
    } catch (fault) {
      showFault(fault);
    }
    button.disabled = false;
  });
  addEventListener('hashchange', openDecision);
  document.addEventListener('visibilitychange', () => document.hidden ? clearTimeout(timer) : refresh());

  $('forget').addEventListener('click', () => {
    sessionStorage.removeItem('caio-token');
    location.reload();
  });
  $('filter').querySelector('button').hidden = true; // it filters while one types
  if ('tokenNeeded' in document.body.dataset && !token) {
    live('waiting', 'A token is needed');
    $('access').hidden = false;
  } else {
    refresh().then(openDecision);
  }
})();
