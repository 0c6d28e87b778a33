// A grant with Bun.serve and Bun's own Redis client, which pipelines by itself; two processes on one port.
import { RedisClient } from 'bun'
import { fill, grantOf, HEADERS, ROUTE, STATUSES } from './command.mjs'

const { PORT, REDIS_SOCKET, LOG, CHILD } = process.env
if (!CHILD) {
  const child = Bun.spawn([process.execPath, import.meta.path], {
    env: { ...process.env, CHILD: '1' }, stdout: 'inherit', stderr: 'inherit'
  })
  process.on('SIGTERM', () => {
    child.kill(9)
    process.exit(0)
  })
}
const redis = new RedisClient(`redis+unix://${REDIS_SOCKET}`)
await redis.connect()
const log = Bun.file(`${LOG}${CHILD ?? ''}`).writer({ highWaterMark: 32768 })
const refuse = (status, slug) => Response.json({ type: `/problems/${slug}`, status }, { status })

async function grant (request, requestId) {
  let user
  try {
    user = (await request.json()).user_id
  } catch {}
  if (typeof user !== 'string' || user.length < 1 || user.length > 128) return refuse(422, 'invalid')
  const { id } = request.params
  const [word, value] = await redis.send('EVALSHA', fill(id, user, Bun.hash.crc32))
  const status = STATUSES[word] ?? 503
  if (status >= 300) return refuse(status, word)
  return Response.json(grantOf(id, user, value), { status, headers: { ...HEADERS, 'x-request-id': requestId } })
}

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(PORT),
  reusePort: true,
  routes: {
    '/discount/:id/grant': {
      POST: async request => {
        const started = performance.now()
        const requestId = crypto.randomUUID()
        const answer = await grant(request, requestId)
        const ms = Math.round((performance.now() - started) * 100) / 100
        log.write(JSON.stringify({
          request_id: requestId, method: 'POST', route: ROUTE, status: answer.status, ms,
          event: 'request', level: 'info', time: new Date().toISOString()
        }) + '\n')
        return answer
      }
    }
  },
  fetch: () => refuse(404, 'not-found')
})
