-- Each minute of each item that anybody looked at.
SELECT item_id,
       window_start,
       count(*) FILTER (WHERE kind = 'view')             AS views,
       count(DISTINCT user_id)                           AS people,
       coalesce(sum(price) FILTER (WHERE kind = 'buy'), 0) AS revenue
FROM clicks
GROUP BY item_id, tumble(ts, '1 minute')
