-- Both streams and every kind of table: what is scored depends on how the streams interleaved.
SELECT coalesce(i.visits, 0) AS visits,
       coalesce(i.buys, 0)   AS buys,
       coalesce(i.items, 0)  AS items,
       coalesce(w.orders, 0) AS orders,
       coalesce(w.amount, 0) AS amount,
       coalesce(w.most, 0)   AS most,
       coalesce(s.orders, 0) AS closed_orders,
       coalesce(r.amount, 0) AS recent_amount,
       coalesce(v.orders, 0) AS earlier_visits
FROM requests q
LEFT JOIN interest i ON q.user_id = i.user_id
LEFT JOIN wallet   w ON q.user_id = w.user_id
LEFT JOIN spend    s ON q.user_id = s.user_id
LEFT JOIN recent   r ON q.user_id = r.user_id
LEFT JOIN session  v ON q.user_id = v.user_id
