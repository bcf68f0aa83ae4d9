-- Lists, distinct counts and spreads: what a horizon holds in more than a number.
SELECT coalesce(i.visits, 0)                                AS visits,
       coalesce(i.buys, 0)                                  AS buys,
       coalesce(i.items, 0)                                 AS items,
       coalesce(i.spread, 0.0)                              AS spread,
       coalesce(i.least, 0)                                 AS least,
       coalesce(array_has(i.latest, q.item_id), false)::int AS is_known
FROM requests q
LEFT JOIN interest i ON q.user_id = i.user_id
