-- Five minutes of each category, moved on every minute.
SELECT category,
       window_end,
       count(*)                                                   AS events,
       count(DISTINCT user_id)                                    AS people,
       1.0 * count(*) FILTER (WHERE kind = 'buy') / count(*)      AS buy_rate
FROM clicks
LEFT JOIN categories ON clicks.category_id = categories.category_id
GROUP BY category, hop(ts, '1 minute', '5 minutes')
