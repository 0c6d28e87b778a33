// What the peers in JavaScript share: the grant's command and its answer. README.md has the environment.
const { COMMAND, BUCKETS, GROUPS } = process.env
// Constants at even places, names of variables at odd ones.
const WORDS = JSON.parse(COMMAND).map(word => word.split(/<([a-z]+)>/))

export const STATUSES = {
  granted: 201, held: 200, 'not-found': 404, closed: 409, paused: 409, expired: 409, 'not-started': 409, 'sold-out': 409
}
export const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff'
}
export const ROUTE = '/discount/{discount_id}/grant'

export function fill(discount, user, crc32) {
  const number = crc32(user)
  const values = { discount, user, bucket: number % BUCKETS, group: number % GROUPS }
  return WORDS.map(parts => parts.length === 1
    ? parts[0]
    : parts.reduce((text, part, place) => text + (place % 2 ? values[part] : part), ''))
}

export function grantOf(discount, user, value) {
  const [at, code] = value.split(' ')
  const second = new Date(Number(at.slice(0, -6)) * 1000).toISOString().slice(0, 19)
  return {
    discount_id: discount, user_id: user, granted: true, code,
    granted_at: `${second}.${at.slice(-6)}Z`, good_until: null, void: false
  }
}
