-- Two seconds of each person's orders, closed once.
SELECT user_id,
       count(*)    AS orders,
       sum(amount) AS amount,
       min(amount) AS least,
       max(amount) AS most
FROM orders
GROUP BY user_id, tumble(ts, '2 seconds')
